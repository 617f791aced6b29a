"""What kinds of survey share: archives and how they are asked, files of the user's, what is fetched and when."""
