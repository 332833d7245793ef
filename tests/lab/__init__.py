"""Real hosts for tests: booted with systemd, each with its own address and sshd, made from an Ansible inventory."""
