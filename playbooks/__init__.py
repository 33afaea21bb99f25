"""What must be done: law packs and duties, playbook definitions, runs and their timers."""
