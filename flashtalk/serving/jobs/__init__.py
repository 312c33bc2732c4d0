"""Long videos: jobs on the disk that outlive the page and the app. Used by ui/tabs/long_video.py."""
