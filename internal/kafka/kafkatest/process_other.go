//go:build !linux

package kafkatest

import "os/exec"

// dieWithParent can't be had here: a test that is killed leaves its children running.
func dieWithParent(*exec.Cmd) {}
