"""One RecBole general recommender per file."""
