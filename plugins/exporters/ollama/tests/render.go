// Prints what Go's own text/template makes of conversations, with the fields that Ollama offers to a TEMPLATE.
//
// In: a list of {"template": text, "data": {System, Messages, Tools, Think, IsThinkSet}} as JSON. Out: a list of texts.
package main

import (
	"encoding/json"
	"log"
	"os"
	"strings"
	"text/template"
)

// Text is JSON that a template prints as it came.
type Text struct{ raw string }

func (t *Text) UnmarshalJSON(data []byte) error { t.raw = string(data); return nil }
func (t Text) String() string                   { return t.raw }

// Tool is an OpenAI tool, printed whole, or its function alone.
type Tool struct {
	Text
	Function Text
}

func (t *Tool) UnmarshalJSON(data []byte) error {
	t.raw = string(data)
	inner := struct{ Function *Text }{&t.Function}
	return json.Unmarshal(data, &inner)
}

type Call struct {
	Function struct {
		Name      string
		Arguments Text
	}
}

type Message struct {
	Role, Content, Thinking string
	ToolCalls               []Call
}

type Data struct {
	System            string
	Messages          []*Message
	Tools             []Tool
	Think, IsThinkSet bool
}

func main() {
	var asked []struct {
		Template string
		Data     Data
	}
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	texts := []string{}
	for _, one := range asked {
		var text strings.Builder
		parsed, err := template.New("").Option("missingkey=zero").Parse(one.Template)
		if err == nil {
			err = parsed.Execute(&text, one.Data)
		}
		if err != nil {
			log.Fatalf("%v in %s", err, one.Template)
		}
		texts = append(texts, text.String())
	}
	json.NewEncoder(os.Stdout).Encode(texts)
}
