module github.com/inos-mesh/inos/tools/joins

go 1.26

require github.com/andybalholm/brotli v1.2.0
