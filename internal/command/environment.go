package command

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/stampede-rewards/stampede/internal/spelling"
)

const (
	variablePrefix = "STAMPEDE_"
	// testPrefix begins the variables of the project's own tests.
	testPrefix = "STAMPEDE_TEST_"
)

// serviceLink is a variable that Kubernetes puts into every container for each service: one called stampede-gateway has STAMPEDE_GATEWAY_PORT.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// readEnvironment is the variables that are set, of those that there are. One that is empty is as one that is not there: what writes a container's
// variables from a template leaves such. A name that is nearly a setting's is a mistake, since who wrote it believes that it holds; any other one
// that is no setting's may be somebody else's, and is only told.
func readEnvironment(environ []string, c catalog) (set map[string]string, wrong mistakes, foreign []string) {
	set = map[string]string{}
	var names []string
	for name := range c.variables {
		if ours, is := strings.CutPrefix(name, variablePrefix); is {
			names = append(names, ours)
		}
	}
	slices.Sort(names)
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(pair, "=")
		_, known := c.variables[name]
		switch {
		case value == "":
		case known:
			set[name] = value
		case !strings.HasPrefix(name, variablePrefix) || strings.HasPrefix(name, testPrefix) || serviceLink.MatchString(name):
		default:
			if near := spelling.Nearest(strings.TrimPrefix(name, variablePrefix), names); near != "" {
				wrong = append(wrong, mistake{text: fmt.Sprintf("%s is in the environment, and nobody reads it: did you mean %s%s?", name, variablePrefix, near)})
			} else {
				foreign = append(foreign, name)
			}
		}
	}
	return set, wrong, foreign
}
