module github.com/inos-mesh/inos

go 1.26

require github.com/aperturerobotics/protobuf-go-lite v0.14.0 // indirect
