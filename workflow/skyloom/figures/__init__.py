"""Every plot of Skyloom, in one look (see `style`)."""
