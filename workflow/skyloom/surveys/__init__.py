"""The kinds of survey: which raw files each has and how one gets them."""
