"""`fab patch`: what waits is installed one host after the other, and no request is lost outside a window."""
