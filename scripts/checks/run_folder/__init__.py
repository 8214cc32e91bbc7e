"""What check_run_folder.py tries on run folders: damage, foreign folders, processes, and how a trial is judged."""
