"""`make status`: how the running stack is, on one screen.

`seen.py` reads what the cluster has, and `member.js` what a member of the database knows. `screen.py` and `backups.py`
make lines of it, without asking anybody.
"""
