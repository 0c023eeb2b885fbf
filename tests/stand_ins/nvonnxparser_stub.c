#include <stddef.h>
void *createNvOnnxParser_INTERNAL(void*n,void*l,int v){return NULL;}
void *createNvOnnxParserRefitter_INTERNAL(void*n,void*l,int v){return NULL;}
int getNvOnnxParserVersion(void){return 0;}
