"""Steps of an optimizer as one compiled graph, compared with the steps as they are."""
