//! What is kept: metadata, blobs and the bus, over engines made by others.
