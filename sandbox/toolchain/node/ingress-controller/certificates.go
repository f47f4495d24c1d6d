package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// certificate is a chain and its key in one file for nginx.
type certificate struct {
	// name is the file's, made from its content: a renewed certificate is a changed configuration, and a file never changes under
	// an nginx that uses it.
	name string
	pem  []byte
}

// parseCertificate checks a pair as strictly as OpenSSL in Debian does, since nginx refuses the whole configuration for
// the sake of one certificate. What it gives back is encoded anew, so that nothing unchecked is left between the blocks.
func parseCertificate(chain, key []byte) (*certificate, error) {
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	var encoded []byte
	for _, der := range pair.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		switch parsed.SignatureAlgorithm {
		case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
			return nil, fmt.Errorf("signed with %s, which is not accepted any more", parsed.SignatureAlgorithm)
		}
		if public, ok := parsed.PublicKey.(*rsa.PublicKey); ok && public.N.BitLen() < 2048 {
			return nil, fmt.Errorf("an RSA key of %d bits; 2048 is the least", public.N.BitLen())
		}
		encoded = append(encoded, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return encodeCertificate(encoded, pair.PrivateKey)
}

func encodeCertificate(chain []byte, key crypto.PrivateKey) (*certificate, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	content := append(chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	sum := sha256.Sum256(content)
	return &certificate{name: hex.EncodeToString(sum[:16]) + ".pem", pem: content}, nil
}

// selfSigned makes the certificate for hosts that have none of their own.
func selfSigned() (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	serial, err2 := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	template := x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Ingress Default Certificate"},
		DNSNames:              []string{"ingress.invalid"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return encodeCertificate(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key)
}
