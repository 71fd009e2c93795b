// Package kernel makes every decision of a node and touches nothing: no clock, disk, network, randomness or goroutine.
package kernel
