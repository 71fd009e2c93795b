// Package datatest holds the acceptance suites of the memories: what a contract of package inos says, as tests that every
// implementation runs. A suite knows no implementation.
package datatest
