"""The live view: numbers beside the pictures, and the page that shows them in TensorBoard, a file, a notebook."""

PLUGIN = "gantools"  # its name for TensorBoard
