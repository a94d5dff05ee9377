"""Training: recipes, data loading, trainers and run folders."""
