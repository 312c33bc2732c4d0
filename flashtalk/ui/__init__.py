"""The app's pages: Gradio tabs and the routes beside them. Built by app.py."""
