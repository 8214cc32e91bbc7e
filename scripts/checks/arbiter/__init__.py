"""Cases of `check_arbiter.py`: games that are right, and games with a wrong field or derivative."""
