"""What is wrong with data, for those who only tell of it: reading data needs torch, and this does not."""


class DataError(Exception):
    """Data that is missing or not what it should be; the message names the file and says what would be right."""
