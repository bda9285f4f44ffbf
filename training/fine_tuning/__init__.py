"""One fine-tuning job, in a process of its own."""
