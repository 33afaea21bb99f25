"""Letters by post: batches of pages and an address file for a printing house, handed to an authorised person."""
