"""The schema of the tables beside the record, step by step. The record makes its own tables when it is opened."""
