package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

//go:embed nginx.conf.tmpl
var configTemplate string

// Every value goes through `word`. What comes from an object was checked where the model was built; this holds should
// that ever be forgotten.
var parsedTemplate = template.Must(template.New("nginx.conf").Funcs(template.FuncMap{
	"word":       word,
	"serverName": serverName,
}).Parse(configTemplate))

var wordPattern = regexp.MustCompile(`^[A-Za-z0-9/._~@:!+,=&()*\[\]-]+$`)

func word(value any) (string, error) {
	text := fmt.Sprint(value)
	if !wordPattern.MatchString(text) {
		return "", fmt.Errorf("%q has no place in an nginx configuration", text)
	}
	return text, nil
}

// serverName gives a host in nginx's terms. Kubernetes's wildcard is one label, nginx's any number of them.
func serverName(name string) (string, error) {
	if parent, wildcard := strings.CutPrefix(name, "*."); wildcard {
		checked, err := word(parent)
		return `~^[^.]+\.` + regexp.QuoteMeta(checked) + `$`, err
	}
	return word(name)
}

// place is where nginx keeps its files and listens.
type place struct {
	// Dir holds everything; an absolute path.
	Dir       string
	HTTPPort  int
	HTTPSPort int
}

// Workers is enough for one machine's own use, and few to start on each reload.
func (p place) Workers() int { return 2 }

func (p place) PIDFile() string { return p.Dir + "/nginx.pid" }

func (p place) CertificateFile(of *certificate) string { return p.Dir + "/certificates/" + of.name }

// Burst is what a limit lets pass at once: 5 s of its rate, as with ingress-nginx.
func (l limit) Burst() int { return l.Rate * 5 }

// render writes the model down for nginx: the same model, the same text. Hosts without a certificate show the fallback.
func render(from model, fallback *certificate, at place) ([]byte, error) {
	var text bytes.Buffer
	err := parsedTemplate.Execute(&text, struct {
		model
		place
		Fallback *certificate
	}{from, at, fallback})
	return text.Bytes(), err
}
