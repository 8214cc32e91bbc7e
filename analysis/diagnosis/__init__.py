"""What is wrong with a training: findings from real steps on a copy of the players, and advice that was tried."""
