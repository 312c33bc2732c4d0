"""The judge: a small network that says what a drawn picture shows; `python -m train.judge` trains it."""
