"""A folder that nobody has described yet: what is in it, a profile to be answered, and the proof of one."""
