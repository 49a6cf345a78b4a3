"""kft: two-phase transfer learning in Keras 3 from one JSON file."""
