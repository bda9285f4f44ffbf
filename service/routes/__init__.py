"""The routes: parse, call one thing, return. HTTP ends here."""
