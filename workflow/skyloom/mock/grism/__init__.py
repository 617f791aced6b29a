"""A mock survey of a slitless spectrograph in the near infrared."""
