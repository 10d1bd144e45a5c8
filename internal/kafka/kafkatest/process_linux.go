package kafkatest

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel end the broker with the test, however that ends.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
