"""What systemd needs to run the daemon, written from its settings."""
