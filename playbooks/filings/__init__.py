"""Filings: the text prepared for an authority or a contract party, from facts and the items its law demands."""
