"""How bytes become values in the formats that need it: pickle, zip, protobuf, thrift, flatbuffers, text."""
