"""Public notices: a page, a feed and JSON under the organisation's address, for everybody, published by a decision."""
