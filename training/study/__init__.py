"""A study: arms trained from the same starts at several seeds, their statistics, and a report."""
