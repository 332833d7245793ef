"""What every role, template, playbook and module of this repository keeps to."""
