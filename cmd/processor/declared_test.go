package main

import (
	"testing"

	"github.com/stampede-rewards/stampede/internal/command/commandtest"
)

func TestTheOtherProgramKnowsOurSettings(t *testing.T) {
	commandtest.OthersKnow(t, "processor", &commands{})
}
