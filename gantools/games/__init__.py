"""Games: players with losses, their field on one flat vector, and what must hold for it to be differentiated."""
