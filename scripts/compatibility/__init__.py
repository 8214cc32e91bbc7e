"""Published models and what they are wrapped in, analysed and compared with central differences: a table."""
