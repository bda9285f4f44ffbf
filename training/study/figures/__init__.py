"""The figures of a study's report, drawn with Matplotlib."""
