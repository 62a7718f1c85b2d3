"""One module per topic. Rules are pure, know nothing of each other, and always tell every objection they have."""
