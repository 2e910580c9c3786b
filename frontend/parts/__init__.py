"""What the pages are made of: charts, tables, the token heat map, words for numbers."""
