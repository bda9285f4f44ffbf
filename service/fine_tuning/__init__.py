"""Fine-tuning jobs as callers see them."""
