package campaign

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stampede-rewards/stampede/internal/spelling"
)

// What an author can do about CEL's mistakes. CEL tells what it does not understand; authors know other languages, and a cure is what they
// meant, in CEL.

// wordy are operators as people say them.
var wordy = map[string]string{"and": "&&", "or": "||", "not": "!", "is": "=="}

// foreign is what stands in other languages for something that CEL writes otherwise.
var foreign = map[string]string{
	"=>": "write >= for `=>`", "=<": "write <= for `=<`", "<>": "write != for `<>`", "not in": "write ! before the whole comparison: !(user.plan in [\"gold\"])",
	"between": "write both bounds: event.data.x >= 1 && event.data.x <= 5", "like": "write contains, startsWith or endsWith: event.data.name.startsWith(\"a\")",
}

// explainSyntax says what an author can do about a syntax error, by what stands before its place and what begins there.
func explainSyntax(message, before, behind string) string {
	word, _, _ := strings.Cut(behind, " ")
	small := strings.ToLower(word)
	for written, cure := range foreign {
		if strings.HasPrefix(strings.ToLower(behind), written) || written == "<>" && strings.HasPrefix(word, ">") && strings.HasSuffix(before, "<") {
			return cure
		}
	}
	switch {
	case word == "":
		return "the expression ends too early: something is missing here"
	case wordy[small] != "":
		return "write " + wordy[small] + " for `" + word + "`"
	case strings.HasPrefix(word, "="):
		return "write == to compare"
	case strings.ContainsAny(word, "\u201c\u201d\u2018\u2019\u201e\u00ab\u00bb"):
		return "`" + shown(word) + "` is not understood: a text stands in straight quotes, \"like this\""
	case word == "&" || word == "|":
		return "write " + word + word + " for `" + word + "`"
	case strings.HasPrefix(message, "token recognition error at: '\"") || strings.HasPrefix(message, "token recognition error at: ''"):
		return notClosed
	case strings.HasPrefix(word, ","):
		return "a comma stands in a list only: a list has brackets, [1, 2], and a number has a point, 5.5"
	}
	return "`" + shown(word) + "` is not understood here: something is missing before it, or it is too much"
}

const notClosed = "the quotes of this text are not closed"

// withoutComment takes an expression for what is left of it where YAML has begun a comment, for the mistake that comes of it.
func withoutComment(message, rest string) string {
	if message == notClosed && strings.HasPrefix(strings.TrimLeft(rest, " \t"), "#") {
		return "YAML begins a comment at ` #`, and the expression ends before it: put the whole expression in quotes"
	}
	return message
}

// dashedName is what stands before a part of a field's name that CEL takes for something that is subtracted.
var dashedName = regexp.MustCompile(`\b(user|event\.data(?:\.\w+)*)\.(\w+(?:-\w+)*-)$`)

// dashed tells of a name with a dash at the column where it begins; empty where there is none.
func dashed(before, behind string) (column int, message string) {
	at := dashedName.FindStringSubmatchIndex(before)
	if at == nil {
		return 0, ""
	}
	object, name := before[at[2]:at[3]], before[at[4]:at[5]]
	name += behind[:len(behind)-len(strings.TrimLeftFunc(behind, func(c rune) bool { return c == '-' || c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c) }))]
	column = utf8.RuneCountInString(before[:at[4]]) + 1
	if object == "user" {
		return column, fmt.Sprintf("`%s` has a dash, which CEL reads as minus: an attribute that a condition asks for has a name without one", shown(name))
	}
	return column, fmt.Sprintf("a name with a dash is read as minus: write %s[\"%s\"]", shown(object), shown(name))
}

// element says whether a name is what a call calls the elements of a list: all(tags, t, t == "a").
func element(source, name string) bool {
	return regexp.MustCompile(`[(,]\s*` + regexp.QuoteMeta(name) + `\s*,`).MatchString(source)
}

// undeclared is the name that CEL does not know; empty where the mistake is another one.
func undeclared(message string) string {
	name, ok := strings.CutPrefix(message, "undeclared reference to '")
	if !ok {
		return ""
	}
	name, _, _ = strings.Cut(name, "'")
	return name
}

// explainCEL says what an author can do about one of CEL's mistakes; call says that it is about a call.
func explainCEL(message string, call bool) string {
	if name, ok := strings.CutPrefix(message, "undefined field '"); ok {
		name, _, _ = strings.Cut(name, "'")
		fields := slices.Sorted(maps.Keys(eventFields))
		if near := spelling.Nearest(name, fields); near != "" {
			return message + suggest(near)
		}
		return message + ": an event has " + strings.Join(fields, ", ") + "; what it tells is below event.data"
	}
	if name := undeclared(message); name != "" {
		word := strings.ToLower(name)
		switch {
		case name == "matches":
			return "regular expressions are not available: use ==, in, startsWith, endsWith or contains"
		case call && name == "exists":
			return "exists() looks into a list, for example event.data.tags.exists(t, t == \"a\"): whether a field is there asks has(event.data.x)"
		case call && slices.Contains(macros, name):
			return fmt.Sprintf("`%s` stands behind a list and gives its elements a name, for example event.data.tags.%[1]s(t, t != \"a\")", name)
		case call:
			return fmt.Sprintf("there is no function `%s`%s", shown(name), suggestOf(name, functionNames()))
		}
		if word == "true" || word == "false" || word == "null" {
			return fmt.Sprintf("write %s for `%s`, in small letters", word, name)
		}
		near := spelling.Nearest(name, []string{"event", "user"})
		if near == "" {
			return fmt.Sprintf("`%s` is not known: put a text in quotes; a field is one of `event` or `user`, for example user.plan", shown(name))
		}
		return fmt.Sprintf("`%s` is not known%s", shown(name), suggest(near))
	}
	if call, ok := strings.CutPrefix(message, "found no matching overload for '"); ok {
		name, operands, _ := strings.Cut(call, "' applied to '")
		return misfit(strings.Trim(name, "_@"), strings.TrimSuffix(operands, "'"))
	}
	if name, ok := strings.CutPrefix(message, "reserved identifier: "); ok {
		return fmt.Sprintf("`%s` can't be a name: a choice is written CONDITION ? THIS : THAT", shown(name))
	}
	switch {
	case strings.HasPrefix(message, "expression recursion limit exceeded"), message == "max recursion depth exceeded":
		return fmt.Sprintf("the expression nests deeper than %d levels: write a simpler one, for example with `in [...]`", maxExpressionDepth)
	case message == "invalid argument to has() macro":
		return "has() asks for a field: write for example has(user.plan)"
	case message == "invalid int literal", message == "invalid uint literal", message == "invalid double literal":
		return "this number is too large"
	}
	return message
}

// misfit tells that a function's operands are not of the types that it takes: "(bool, int)", or "string.(string)" of what stands behind a text.
func misfit(function, operands string) string {
	alone := strings.HasPrefix(operands, "(")
	operands = strings.NewReplacer("(", " ", ")", "").Replace(strings.NewReplacer("list(", "list[", ".(", ", ", "stampede.", "stampede").Replace(operands))
	var of []string
	for o := range strings.SplitSeq(operands, ",") {
		of = append(of, strings.TrimSpace(o))
	}
	has := func(name string) bool { return slices.Contains(of, name) }
	words := make([]string, len(of))
	for i, o := range of {
		words[i] = celType(o)
	}
	told := fmt.Sprintf("`%s` does not go with %s", function, strings.Join(words, " and "))
	last := of[len(of)-1]
	switch named := function[0] >= 'a' && function[0] <= 'z' && function != "in"; {
	case has("timestamp"):
		return told + ": compare an instant with timestamp(\"2026-01-01T00:00:00Z\"), or event.date with \"2026-01-01\""
	case named && alone && slices.Contains([]string{"contains", "startsWith", "endsWith"}, function):
		return fmt.Sprintf("`%s` stands behind the text that it looks at: write for example event.data.name.%[1]s(\"a\")", function)
	case named:
		return told
	case strings.Contains("< <= > >=", function) && has("bool"):
		return told + ": where a value lies between two others, write both comparisons, 1 < event.data.x && event.data.x < 5"
	case function == "in" && (last == "string" || last == "int" || last == "double"):
		return told + ": what it looks in is a list in brackets, [\"weight\", \"sleep\"]; whether a text holds another one asks contains"
	case len(of) == 2: //nolint:mnd // an operator's
		return told + ": write a text in quotes, and a number without"
	}
	return told
}

// macros are CEL's functions that look at the elements of a list.
var macros = []string{"all", "exists", "exists_one", "filter", "map"}

// notConverted tells of a literal that a function can't read, and so no event is taken.
func notConverted(function, literal string) string {
	switch function {
	case "timestamp":
		return fmt.Sprintf("`%s` is no instant: write timestamp(\"2026-01-01T00:00:00Z\"), or compare event.date with \"2026-01-01\"", shown(literal))
	case "duration":
		return fmt.Sprintf("`%s` is no length of time: write for example duration(\"24h\"), of hours, minutes (m) and seconds (s)", shown(literal))
	}
	return fmt.Sprintf("%s() can't read `%s`, whatever the event", function, shown(literal))
}

// notWhole tells of a whole number that is to be reckoned with a number which CEL takes for one with decimals.
func notWhole(sign, field, number string) string {
	if sign == "%" {
		return fmt.Sprintf("for CEL `%s` is a number with decimals, which has no %%: write int(%s) %% %s", shown(field), shown(field), number)
	}
	return fmt.Sprintf("for CEL `%s` is a number with decimals, which does not go with `%s` and a whole number: write %s.0", shown(field), sign, number)
}

// celType is a type in an author's words.
func celType(name string) string {
	switch words := celTypes[name]; {
	case words != "":
		return words
	case strings.HasPrefix(name, "list"):
		return "a list"
	case strings.HasPrefix(name, "map"):
		return "a mapping"
	}
	return shown(name)
}

var celTypes = map[string]string{
	"string": "a text", "int": "a whole number", "uint": "a whole number", "double": "a number", "bool": "true or false", "null_type": "null",
	"bytes": "bytes", "timestamp": "an instant", "duration": "a length of time", "dyn": "any value",
	"google.protobuf.Timestamp": "an instant", "google.protobuf.Duration": "a length of time",
}

// suggestOf suggests the near one of some words, or lists them.
func suggestOf(word string, words []string) string {
	if near := spelling.Nearest(word, words); near != "" || len(words) == 0 {
		return suggest(near)
	}
	return ": known are " + someOf(words)
}
