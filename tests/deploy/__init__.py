"""What is installed: the image, the chart, the plain manifests. Images are built and run as root, without a daemon."""
