"""Images in files of many forms, a row a galaxy, each form told by what the file holds: see `readers`."""
